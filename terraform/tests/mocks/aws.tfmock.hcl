# What AWS would answer, where a random word would not do.

mock_data "aws_availability_zones" {
  defaults = {
    names = ["ap-southeast-1a", "ap-southeast-1b", "ap-southeast-1c"]
  }
}

mock_data "aws_caller_identity" {
  defaults = {
    account_id = "123456789012"
  }
}

mock_resource "aws_s3_bucket" {
  defaults = {
    id                          = "hb-spring-control-20270205120000123400000001"
    arn                         = "arn:aws:s3:::hb-spring-control-20270205120000123400000001"
    bucket_regional_domain_name = "hb.s3.ap-southeast-1.amazonaws.com"
  }
}

mock_resource "aws_elasticache_replication_group" {
  defaults = {
    configuration_endpoint_address = "clustercfg.hb-spring.abc123.apse1.cache.amazonaws.com"
  }
}

mock_resource "aws_db_instance" {
  defaults = {
    address = "hb-spring.abc123.ap-southeast-1.rds.amazonaws.com"
  }
}

mock_resource "aws_kms_key" {
  defaults = {
    arn    = "arn:aws:kms:ap-southeast-1:123456789012:key/0000"
    key_id = "0000"
  }
}

mock_resource "aws_acm_certificate" {
  defaults = {
    arn = "arn:aws:acm:us-east-1:123456789012:certificate/0000"
    domain_validation_options = [{
      domain_name           = "*.hongbao.example.com"
      resource_record_name  = "_x.hongbao.example.com"
      resource_record_type  = "CNAME"
      resource_record_value = "_y.acm-validations.aws"
    }]
  }
}

mock_resource "aws_acm_certificate_validation" {
  defaults = {
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/0000"
  }
}

mock_resource "aws_route53_zone" {
  defaults = {
    name_servers = ["ns-1.awsdns-01.org", "ns-2.awsdns-02.com"]
  }
}
