terraform {
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.51.0, < 7.0.0"
    }
  }

  # The bucket, the key prefix and the KMS key come from backend.hcl, which `base` puts out (docs/operations.md).
  # The lock is a file beside the state: S3 decides by a conditional write who has it.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

