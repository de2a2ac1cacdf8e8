drop table sms_sandbox_messages;
drop table sms_messages;
drop table sms_templates;
