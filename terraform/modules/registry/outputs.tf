output "urls" {
  description = "Repository URLs by name."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}
