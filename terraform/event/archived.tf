# `destroy` is refused until `hongbao archive` has written its marker: this resource depends on everything, so it is the first to
# be destroyed, and what it runs then fails without the marker. To destroy without an archive (a rehearsal), put the marker
# there by hand: `terraform output archive_marker` says where.

locals {
  archive_prefix = "${var.event}/${local.suffix}"
  archive_marker = "${local.archive_prefix}/ARCHIVED"
}

resource "terraform_data" "archived" {
  input = {
    bucket = var.base.archive_bucket
    key    = local.archive_marker
    region = var.base.region
  }

  provisioner "local-exec" {
    when    = destroy
    command = "aws s3api head-object --region '${self.input.region}' --bucket '${self.input.bucket}' --key '${self.input.key}' >/dev/null || { echo 'Not destroyed: s3://${self.input.bucket}/${self.input.key} is not there. Run \"hongbao archive\" first.' >&2; exit 1; }"
  }

  depends_on = [
    module.network,
    module.secrets,
    module.bucket,
    module.balancer,
    module.static_site,
    module.controller,
    module.operator,
    module.monitoring,
    aws_s3_object.topology,
    aws_s3_bucket_policy.control,
    aws_s3_bucket_versioning.control,
    aws_s3_bucket_server_side_encryption_configuration.control,
  ]
}
