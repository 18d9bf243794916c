output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "Subnets of the load balancer."
  value       = [for zone in var.zones : aws_subnet.public[zone].id]
}

output "private_subnet_ids" {
  description = "Subnets of everything else."
  value       = [for zone in var.zones : aws_subnet.private[zone].id]
}

output "role_security_group_ids" {
  description = "Security groups by role."
  value       = { for role, group in aws_security_group.role : role => group.id }
}

output "namespace_id" {
  description = "Service-discovery namespace."
  value       = aws_service_discovery_private_dns_namespace.this.id
}

output "namespace" {
  description = "Name of the service-discovery namespace."
  value       = var.namespace
}
