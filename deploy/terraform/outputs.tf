output "instance_id" {
  description = "For `aws ssm start-session --target`, and for PCR4."
  value       = aws_instance.host.id
}

output "role_arn" {
  description = "For `adyton kms policy --role`, and for PCR3."
  value       = aws_iam_role.host.arn
}

output "private_ip" {
  description = "Where clients connect, or a load balancer that passes TCP on."
  value       = aws_instance.host.private_ip
}

output "key_arn" {
  description = "The key of the release, if there is one."
  value       = one(aws_kms_key.release[*].arn)
}
