output "event_variables" {
  description = "What the root `event` takes from here: terraform output -json event_variables > ../event/base.auto.tfvars.json"
  value = {
    base = {
      region                 = var.region
      name                   = var.name
      domain                 = var.domain
      zone_id                = aws_route53_zone.this.zone_id
      site_certificate_arn   = aws_acm_certificate_validation.site.certificate_arn
      certificate_secret_arn = aws_secretsmanager_secret.certificate.arn
      kms_key_arn            = aws_kms_key.this.arn
      archive_bucket         = aws_s3_bucket.kept["archive"].id
      topic_arns             = module.notifications.topic_arns
      repository_urls        = module.registry.urls
    }
  }
}

output "api_certificate_arn" {
  description = "Certificate to export into the secret."
  value       = aws_acm_certificate_validation.api.certificate_arn
}

output "certificate_secret_arn" {
  description = "Where the exported certificate goes."
  value       = aws_secretsmanager_secret.certificate.arn
}

output "name_servers" {
  description = "To be entered where the domain was bought."
  value       = aws_route53_zone.this.name_servers
}

output "backend" {
  description = "terraform output -raw backend > backend.hcl; the key differs by root (-backend-config=key=…)."
  value       = <<-EOT
    bucket     = "${aws_s3_bucket.kept["state"].id}"
    region     = "${var.region}"
    kms_key_id = "${aws_kms_key.this.arn}"
  EOT
}
