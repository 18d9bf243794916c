output "names" {
  description = "Ids, which are their names in the namespace, too."
  value       = sort(tolist(local.ids))
}

output "port" {
  description = "Admin port."
  value       = local.port
}

output "service_names" {
  description = "ECS services by id."
  value       = { for id, process in module.process : id => process.service_name }
}
