# The page, the schedule and the start files: S3 behind CloudFront. Controllers write the schedule and the start files, and nobody
# else reads the bucket but CloudFront.
# Cost: CloudFront in docs/costs.md.

resource "aws_s3_bucket" "this" {
  bucket_prefix = "${var.name}-site-"
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OnlyThisDistribution"
        Effect    = "Allow"
        Principal = { Service = "cloudfront.amazonaws.com" }
        Action    = "s3:GetObject"
        Resource  = "${aws_s3_bucket.this.arn}/*"
        Condition = { StringEquals = { "AWS:SourceArn" = aws_cloudfront_distribution.this.arn } }
      },
      {
        Sid       = "OnlyTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })

  depends_on = [aws_s3_bucket_public_access_block.this]
}

locals {
  types = {
    html  = "text/html; charset=utf-8"
    js    = "text/javascript; charset=utf-8"
    css   = "text/css; charset=utf-8"
    json  = "application/json; charset=utf-8"
    svg   = "image/svg+xml"
    png   = "image/png"
    jpg   = "image/jpeg"
    webp  = "image/webp"
    woff2 = "font/woff2"
    mp4   = "video/mp4"
  }
  media = var.media_folder == null ? {} : { for file in fileset(var.media_folder, "**") : file => "${var.media_folder}/${file}" if contains(keys(local.types), reverse(split(".", file))[0]) }
  files = { for file in fileset(var.site_folder, "**") : file => "${var.site_folder}/${file}" if contains(keys(local.types), reverse(split(".", file))[0]) }
}

# The folder of `hongbao balancer site`: the page, and under assets/ files whose names change with their content.
resource "aws_s3_object" "page" {
  for_each      = local.files
  bucket        = aws_s3_bucket.this.id
  key           = each.key
  source        = each.value
  source_hash   = filemd5(each.value)
  content_type  = local.types[reverse(split(".", each.key))[0]]
  cache_control = can(regex("[.-][0-9a-f]{8,}\\.[a-z0-9]+$", each.key)) ? "public, max-age=31536000, immutable" : "public, max-age=0, s-maxage=30, must-revalidate"

  lifecycle {
    precondition {
      condition     = fileexists("${var.site_folder}/index.html") && anytrue([for file in keys(local.files) : startswith(file, "assets/")])
      error_message = "site_folder: found no built page in ${var.site_folder}; hongbao balancer site --out FOLDER --api ${var.api} writes it."
    }
  }
}

# Whoever changes a picture gives it another name: a day at the edge and in browsers.
resource "aws_s3_object" "media" {
  for_each      = local.media
  bucket        = aws_s3_bucket.this.id
  key           = "media/${each.key}"
  source        = each.value
  source_hash   = filemd5(each.value)
  content_type  = local.types[reverse(split(".", each.key))[0]]
  cache_control = "public, max-age=86400"
}

resource "aws_cloudfront_origin_access_control" "this" {
  name                              = "${var.name}-${var.suffix}"
  description                       = "CloudFront signs its requests to the bucket"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

# One second at the edge, whatever the object says to browsers: 150,000 pollers are one request a second and edge.
resource "aws_cloudfront_cache_policy" "fresh" {
  name        = "${var.name}-${var.suffix}-fresh"
  comment     = "Start files and the schedule"
  min_ttl     = 1
  default_ttl = 1
  max_ttl     = 1

  parameters_in_cache_key_and_forwarded_to_origin {
    enable_accept_encoding_gzip   = true
    enable_accept_encoding_brotli = true

    cookies_config {
      cookie_behavior = "none"
    }

    headers_config {
      header_behavior = "none"
    }

    query_strings_config {
      query_string_behavior = "none"
    }
  }
}

resource "aws_cloudfront_cache_policy" "page" {
  name        = "${var.name}-${var.suffix}-page"
  comment     = "The page and its pictures"
  min_ttl     = 1
  default_ttl = 60
  max_ttl     = 31536000

  parameters_in_cache_key_and_forwarded_to_origin {
    enable_accept_encoding_gzip   = true
    enable_accept_encoding_brotli = true

    cookies_config {
      cookie_behavior = "none"
    }

    headers_config {
      header_behavior = "none"
    }

    query_strings_config {
      query_string_behavior = "none"
    }
  }
}

resource "aws_cloudfront_response_headers_policy" "this" {
  name    = "${var.name}-${var.suffix}"
  comment = "As the local cluster answers"

  cors_config {
    access_control_allow_credentials = false
    origin_override                  = true

    access_control_allow_headers {
      items = ["*"]
    }

    access_control_allow_methods {
      items = ["GET", "HEAD"]
    }

    access_control_allow_origins {
      items = ["*"]
    }
  }

  security_headers_config {
    content_type_options {
      override = true
    }

    content_security_policy {
      content_security_policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; font-src 'self'; connect-src 'self' ${var.api}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
      override                = true
    }

    referrer_policy {
      referrer_policy = "no-referrer"
      override        = true
    }

    strict_transport_security {
      access_control_max_age_sec = 31536000
      override                   = true
    }
  }
}

resource "aws_cloudfront_distribution" "this" {
  enabled             = true
  comment             = var.name
  aliases             = [var.domain]
  default_root_object = "index.html"
  http_version        = "http2and3"
  is_ipv6_enabled     = true
  price_class         = var.price_class
  # The edge lets go of it in minutes; terraform need not wait.
  wait_for_deployment = false

  origin {
    origin_id                = "site"
    domain_name              = aws_s3_bucket.this.bucket_regional_domain_name
    origin_access_control_id = aws_cloudfront_origin_access_control.this.id

    # One more cache in front of S3, so that not every edge asks the bucket.
    origin_shield {
      enabled              = true
      origin_shield_region = var.region
    }
  }

  default_cache_behavior {
    target_origin_id           = "site"
    viewer_protocol_policy     = "redirect-to-https"
    allowed_methods            = ["GET", "HEAD"]
    cached_methods             = ["GET", "HEAD"]
    compress                   = true
    cache_policy_id            = aws_cloudfront_cache_policy.page.id
    response_headers_policy_id = aws_cloudfront_response_headers_policy.this.id
  }

  dynamic "ordered_cache_behavior" {
    for_each = ["/start/*", "/rounds.json"]

    content {
      path_pattern               = ordered_cache_behavior.value
      target_origin_id           = "site"
      viewer_protocol_policy     = "https-only"
      allowed_methods            = ["GET", "HEAD"]
      cached_methods             = ["GET", "HEAD"]
      compress                   = true
      cache_policy_id            = aws_cloudfront_cache_policy.fresh.id
      response_headers_policy_id = aws_cloudfront_response_headers_policy.this.id
    }
  }

  # A start file that is not there yet must not be remembered as missing.
  custom_error_response {
    error_code            = 403
    error_caching_min_ttl = 1
  }

  custom_error_response {
    error_code            = 404
    error_caching_min_ttl = 1
  }

  viewer_certificate {
    acm_certificate_arn      = var.certificate_arn
    ssl_support_method       = "sni-only"
    minimum_protocol_version = "TLSv1.2_2021"
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }
}

resource "aws_route53_record" "site" {
  for_each = toset(["A", "AAAA"])
  zone_id  = var.zone_id
  name     = var.domain
  type     = each.key

  alias {
    name                   = aws_cloudfront_distribution.this.domain_name
    zone_id                = aws_cloudfront_distribution.this.hosted_zone_id
    evaluate_target_health = false
  }
}
