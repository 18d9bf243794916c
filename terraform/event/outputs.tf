output "topology" {
  description = "The topology file, as it is in the control bucket: terraform output -raw topology > topology.yaml"
  value       = aws_s3_object.topology.content
}

output "url" {
  description = "Where apps call."
  value       = "https://${local.api_domain}"
}

output "site" {
  description = "Where the page is."
  value       = "https://${local.site_domain}"
}

output "control_bucket" {
  description = "Event files go to input/ in it."
  value       = aws_s3_bucket.control.id
}

output "archive_marker" {
  description = "The object without which `destroy` is refused."
  value       = "s3://${var.base.archive_bucket}/${local.archive_marker}"
}

output "run_task" {
  description = "Arguments of `aws ecs run-task` for an operator's command; add --overrides with the command."
  value = join(" ", [
    "--region ${var.base.region} --cluster ${aws_ecs_cluster.this.name} --task-definition ${module.operator.family} --launch-type FARGATE",
    "--network-configuration 'awsvpcConfiguration={subnets=[${join(",", module.network.private_subnet_ids)}],securityGroups=[${module.network.role_security_group_ids["operator"]}],assignPublicIp=DISABLED}'",
  ])
}

output "distribution_id" {
  description = "CloudFront distribution, for invalidations."
  value       = module.static_site.distribution_id
}

output "security_groups" {
  description = "Security groups by role and by bucket."
  value       = { roles = module.network.role_security_group_ids, buckets = { for id, bucket in module.bucket : id => bucket.security_group_ids } }
}
