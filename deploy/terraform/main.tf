data "aws_partition" "current" {}

# The instance's role. It may be managed by SSM, since nobody can log in otherwise. It has no right to the key: the key's own policy
# says who has.
resource "aws_iam_role" "host" {
  name = var.role_name
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "ssm" {
  role       = aws_iam_role.host.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "host" {
  name = var.role_name
  role = aws_iam_role.host.name
}

resource "aws_security_group" "host" {
  name        = var.name
  description = "Clients of the enclave, and nobody else"
  vpc_id      = var.vpc_id
}

# The one way in. TLS ends in the enclave.
resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each          = toset(var.client_cidrs)
  security_group_id = aws_security_group.host.id
  description       = "attested TLS"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = var.service_port
  to_port           = var.service_port
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each          = toset(var.egress_cidrs)
  security_group_id = aws_security_group.host.id
  description       = "SSM, KMS, packages"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_instance" "host" {
  ami                    = var.ami_id
  instance_type          = var.instance_type
  subnet_id              = var.subnet_id
  vpc_security_group_ids = [aws_security_group.host.id]
  iam_instance_profile   = aws_iam_instance_profile.host.name

  enclave_options {
    enabled = true
  }

  # IMDSv2 only, and one hop: what runs in a container on the instance does not reach the role.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted   = true
    volume_type = "gp3"
    volume_size = var.root_gib
  }

  user_data_replace_on_change = true
  user_data = templatefile("${path.module}/first-start.sh.tftpl", {
    memory_mib = var.allocator.memory_mib
    cpu_count  = var.allocator.cpu_count
  })

  tags = {
    Name = var.name
  }
}

# The key of a release. Its policy is made before, for the image and the release; the role above must have the name that stands in it.
resource "aws_kms_key" "release" {
  count                              = var.key_policy_file == null ? 0 : 1
  description                        = "Adyton: released to attested enclaves only"
  policy                             = file(var.key_policy_file)
  bypass_policy_lockout_safety_check = var.key_policy_is_final
  enable_key_rotation                = false
  deletion_window_in_days            = 30

  # AWS refuses a policy that names a role which is not there.
  depends_on = [aws_iam_role.host]

  lifecycle {
    # Who deletes it deletes the release.
    prevent_destroy = true
  }
}
