# The cluster's secrets, made once when they are first applied and read back, so a later apply (one more bucket) meets the same
# value. Written by write-only arguments; what a data source answered stands in the state all the same, so the state is as secret
# as they are (docs/operations.md).
# Names end in a random suffix and are deleted at once, so the next apply of the day meets no name that is taken.
# Cost: by the secret and month (docs/costs.md).

locals {
  made = toset([for name in var.names : name if !contains(keys(var.existing), name)])
}

data "aws_secretsmanager_random_password" "this" {
  for_each            = local.made
  password_length     = 40
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "this" {
  for_each                = local.made
  name_prefix             = "${var.name}/${each.key}-"
  description             = "Hongbao ${each.key}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "this" {
  for_each                 = local.made
  secret_id                = aws_secretsmanager_secret.this[each.key].id
  secret_string_wo         = data.aws_secretsmanager_random_password.this[each.key].random_password
  secret_string_wo_version = var.generation
}

data "aws_secretsmanager_secret_version" "store" {
  for_each   = toset(["redis", "mysql"])
  secret_id  = aws_secretsmanager_secret.this[each.key].id
  depends_on = [aws_secretsmanager_secret_version.this]
}
