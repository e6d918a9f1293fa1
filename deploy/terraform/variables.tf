variable "name" {
  description = "What everything is called."
  type        = string
  default     = "adyton"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.name))
    error_message = "The name has a-z, 0-9 and -, and begins with a letter."
  }
}

variable "role_name" {
  description = "Name of the instance's role; the key policy names it, so that it must be known before."
  type        = string
  default     = "adyton-host"
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnet_id" {
  description = "The subnet of the instance. A private one, with a load balancer that passes TCP on, or a public one."
  type        = string
}

variable "client_cidrs" {
  description = "Who may connect to the service port. Nobody by default."
  type        = list(string)
  default     = []
}

variable "egress_cidrs" {
  description = "Where the instance may connect to over HTTPS: AWS's interfaces (SSM, KMS), and packages at its first start."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "instance_type" {
  description = "A Nitro instance with at least four virtual processors; not burstable, not bare metal."
  type        = string
  default     = "c6i.2xlarge"
  validation {
    condition     = !can(regex("^(t[0-9].*|.*\\.metal.*|.*\\.(nano|micro|small|medium|large)$)", var.instance_type))
    error_message = "Nitro Enclaves needs an instance with four virtual processors or more that is neither burstable nor bare metal."
  }
}

variable "ami_id" {
  description = "An image of Amazon Linux 2023, by ID: what a filter finds may change under you."
  type        = string
  validation {
    condition     = can(regex("^ami-[0-9a-f]{8,17}$", var.ami_id))
    error_message = "An AMI ID, as ami-0123456789abcdef0."
  }
}

variable "service_port" {
  description = "The port of adyton-host."
  type        = number
  default     = 8443
}

variable "allocator" {
  description = "What the instance gives up for its enclaves: as deploy/systemd/allocator.yaml."
  type = object({
    memory_mib = number
    cpu_count  = number
  })
  default = {
    memory_mib = 6144
    cpu_count  = 4
  }
}

variable "root_gib" {
  description = "Size of the disk, in GiB: the system, the release and the audit log."
  type        = number
  default     = 40
}

variable "key_policy_file" {
  description = "The key policy, written by `adyton kms policy`. Without it no key is made: weights that are not secret need none."
  type        = string
  default     = null
}

variable "key_policy_is_final" {
  description = "The policy lets nobody change it (no --policy-admin). AWS wants to be told."
  type        = bool
  default     = true
}
