output "topic_arns" {
  description = "Topics by urgency: page, ticket."
  value       = { for urgency, topic in aws_sns_topic.this : urgency => topic.arn }
}
