output "bucket" {
  description = "Bucket that controllers publish into."
  value       = aws_s3_bucket.this.id
}

output "bucket_arn" {
  description = "Its ARN."
  value       = aws_s3_bucket.this.arn
}

output "distribution_id" {
  description = "CloudFront distribution."
  value       = aws_cloudfront_distribution.this.id
}
