# One instance with Nitro Enclaves that runs Adyton, and the key of its releases. docs/deploy.md walks through it.
terraform {
  required_version = ">= 1.5.0"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.60.0, < 7.0.0"
    }
  }
}
