output "task_definition_arn" {
  description = "Task definition with its revision."
  value       = aws_ecs_task_definition.this.arn
}

output "family" {
  description = "Task definition without a revision: the newest one."
  value       = aws_ecs_task_definition.this.family
}

output "service_name" {
  description = "ECS service, or null."
  value       = one(aws_ecs_service.this[*].name)
}
