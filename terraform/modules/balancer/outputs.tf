output "listen" {
  description = "Where HAProxy listens."
  value       = "0.0.0.0:${local.ports.public}"
}

output "admin_port" {
  description = "Admin port of each HAProxy."
  value       = local.ports.admin
}

output "alarm_dimensions" {
  description = "Names for alarms."
  value       = { LoadBalancer = aws_lb.this.arn_suffix, TargetGroup = aws_lb_target_group.this.arn_suffix }
}

output "service_name" {
  description = "ECS service."
  value       = module.process.service_name
}
