output "arns" {
  description = "Secrets by name."
  value       = merge({ for name, secret in aws_secretsmanager_secret.this : name => secret.arn }, var.existing)

  # A task that starts before the value is there would fail.
  depends_on = [aws_secretsmanager_secret_version.this]
}

output "store_passwords" {
  description = "Passwords that the stores are made with."
  value       = { for name, version in data.aws_secretsmanager_secret_version.store : name => version.secret_string }
  sensitive   = true
}
