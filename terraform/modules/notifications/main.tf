# Topics and their subscriptions: `page` reaches phones, `ticket` mail, and whoever pages tells both. They live in `base`: an e-mail subscription is confirmed by a click, once.
# Cost: SNS in docs/costs.md.

resource "aws_sns_topic" "this" {
  for_each          = toset(["page", "ticket"])
  name              = "${var.name}-${each.key}"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_policy" "this" {
  for_each = aws_sns_topic.this
  arn      = each.value.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = each.value.arn
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      },
      {
        Sid       = "TasksOfThisAccount"
        Effect    = "Allow"
        Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
        Action    = "sns:Publish"
        Resource  = each.value.arn
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "sms" {
  for_each  = toset(var.phone_numbers)
  topic_arn = aws_sns_topic.this["page"].arn
  protocol  = "sms"
  endpoint  = each.key
}

resource "aws_sns_topic_subscription" "email" {
  for_each  = toset(var.email_addresses)
  topic_arn = aws_sns_topic.this["ticket"].arn
  protocol  = "email"
  endpoint  = each.key
}

# Alarms must not be dropped because the month's SMS budget of the account (1 USD by default) is spent.
resource "aws_sns_sms_preferences" "this" {
  count               = length(var.phone_numbers) > 0 ? 1 : 0
  default_sms_type    = "Transactional"
  monthly_spend_limit = var.sms_usd_a_month
}
