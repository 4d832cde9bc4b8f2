//! Alertmanager's webhook under py-phone-caller's four paths.

use poem_openapi::{Object, OpenApi, payload::Json};

use super::POLICY;
use crate::{
    api::{
        State, Tag,
        alertmanager::{self, Webhook},
        auth::RaisesAlerts,
        body::Body,
        error::Problem,
    },
    engine::PolicyChoice,
    escalation::Method,
};

/// Alertmanager's webhook under py-phone-caller's paths.
pub struct Webhooks(pub State);

/// It is stored.
#[derive(Debug, Object)]
#[oai(rename = "CompatStored")]
struct Stored {
    /// `200`, as text.
    status: String,
}

#[OpenApi(tag = "Tag::Compat")]
impl Webhooks {
    /// Alertmanager's webhook: call
    ///
    /// Raises with the policy named `compat`, all its steps by call; with the default policy if there is none
    /// of that name, and the log says so. Answers once everything is stored. On 503 nothing is: Alertmanager
    /// sends it again. What cannot be understood is refused with 400, and not sent again at once.
    #[oai(path = "/call_only", method = "post", operation_id = "compat_call_only", deprecated)]
    async fn call_only(&self, caller: RaisesAlerts, webhook: Body<Webhook>) -> Result<Json<Stored>, Problem> {
        self.raise(&caller, webhook.0, Method::Call).await
    }

    /// Alertmanager's webhook: text
    ///
    /// As `/call_only`, all steps by text message.
    #[oai(path = "/sms_only", method = "post", operation_id = "compat_sms_only", deprecated)]
    async fn sms_only(&self, caller: RaisesAlerts, webhook: Body<Webhook>) -> Result<Json<Stored>, Problem> {
        self.raise(&caller, webhook.0, Method::Sms).await
    }

    /// Alertmanager's webhook: text, then call
    ///
    /// As `/call_only`, all steps by text message, and by call `compat.sms_wait` seconds later.
    #[oai(path = "/sms_before_call", method = "post", operation_id = "compat_sms_before_call", deprecated)]
    async fn sms_before_call(&self, caller: RaisesAlerts, webhook: Body<Webhook>) -> Result<Json<Stored>, Problem> {
        self.raise(&caller, webhook.0, Method::SmsThenCall { wait: self.0.compat.sms_wait }).await
    }

    /// Alertmanager's webhook: call and text
    ///
    /// As `/call_only`, all steps by call and by text message at once.
    #[oai(path = "/call_and_sms", method = "post", operation_id = "compat_call_and_sms", deprecated)]
    async fn call_and_sms(&self, caller: RaisesAlerts, webhook: Body<Webhook>) -> Result<Json<Stored>, Problem> {
        self.raise(&caller, webhook.0, Method::CallAndSms).await
    }
}

impl Webhooks {
    async fn raise(&self, caller: &RaisesAlerts, webhook: Webhook, method: Method) -> Result<Json<Stored>, Problem> {
        let policy = PolicyChoice::ByMethod(POLICY.to_owned(), method);
        for alert in alertmanager::alerts(webhook, &policy, caller.name(), self.0.alertmanager_per) {
            self.0.engine.raise(alert).await?;
        }
        Ok(Json(Stored { status: "200".to_owned() }))
    }
}
