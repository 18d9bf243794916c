# What stays between events.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  region          = "ap-southeast-1"
  domain          = "hongbao.example.com"
  email_addresses = ["night@example.com"]
  phone_numbers   = ["+8613800000000"]
}

run "base" {
  # prevent_destroy would keep the test from cleaning up what it pretended to make.
  command = plan

  module {
    source = "./base"
  }

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "The key rotates."
  }

  assert {
    condition     = alltrue([for block in aws_s3_bucket_public_access_block.kept : block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets])
    error_message = "State and archive are not public."
  }

  assert {
    condition     = alltrue([for versioning in aws_s3_bucket_versioning.kept : one(versioning.versioning_configuration).status == "Enabled"])
    error_message = "State and archive keep their versions."
  }

  assert {
    condition     = aws_acm_certificate.site.region == "us-east-1" && one(aws_acm_certificate.api.options).export == "ENABLED"
    error_message = "CloudFront's certificate is where CloudFront looks; HAProxy's can be exported."
  }
}

run "no_email" {
  command = plan

  module {
    source = "./modules/notifications"
  }

  variables {
    name            = "hongbao"
    account_id      = "123456789012"
    kms_key_arn     = "arn:aws:kms:ap-southeast-1:123456789012:key/0000"
    email_addresses = []
  }

  expect_failures = [var.email_addresses]
}

run "phone_number" {
  command = plan

  module {
    source = "./modules/notifications"
  }

  variables {
    name          = "hongbao"
    account_id    = "123456789012"
    kms_key_arn   = "arn:aws:kms:ap-southeast-1:123456789012:key/0000"
    phone_numbers = ["13800000000"]
  }

  expect_failures = [var.phone_numbers]
}
