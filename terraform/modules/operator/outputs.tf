output "family" {
  description = "Task definition for `aws ecs run-task`."
  value       = module.process.family
}
