//! Numbers that want no texts: whoever answers one with "stop" stands here. They are called all the same.

use chrono::{DateTime, Utc};
use poem_openapi::{Object, OpenApi, param::Path, payload::Json};

use super::{
    State, Tag,
    auth::{ReadsMessages, SendsMessages},
    error::Problem,
    tagged::Gone,
};
use crate::{phone::PhoneNumber, store};

/// Numbers that want no texts.
pub struct OptOuts(pub State);

/// A number that wants no texts.
#[derive(Debug, Object)]
struct OptOut {
    /// The number, in E.164.
    number: String,
    /// Who turned them off: whoever has the number, or somebody for them.
    by: String,
    /// When.
    at: DateTime<Utc>,
}

/// Numbers that want no texts, the latest first.
#[derive(Debug, Object)]
struct OptOutList {
    /// All of them.
    items: Vec<OptOut>,
}

#[OpenApi(prefix_path = "/api/v2/text-opt-outs", tag = "Tag::Messages")]
impl OptOuts {
    /// List the numbers that want no texts
    #[oai(path = "/", method = "get", operation_id = "list_opt_outs")]
    async fn list(&self, _caller: ReadsMessages) -> Result<Json<OptOutList>, Problem> {
        let items = self.0.store.opted_out().await?.into_iter().map(shown).collect();
        Ok(Json(OptOutList { items }))
    }

    /// Send no texts to a number any more
    ///
    /// As if its owner had answered one with "stop", without a confirmation. Calls go on.
    #[oai(path = "/:number", method = "put", operation_id = "opt_out")]
    async fn opt_out(
        &self,
        caller: SendsMessages,
        /// E.164, or nationally for the configured country.
        #[oai(validator(max_length = 40))]
        number: Path<String>,
    ) -> Result<Json<OptOut>, Problem> {
        let number = self.number(&number.0)?;
        self.0.store.opt_out(&number, caller.name(), self.0.clock.now()).await?;
        let all = self.0.store.opted_out().await?;
        let one = all.into_iter().find(|opted_out| opted_out.number == number);
        Ok(Json(shown(one.ok_or_else(|| Problem::conflict("texts to it were turned on again meanwhile"))?)))
    }

    /// Send texts to a number again
    #[oai(path = "/:number", method = "delete", operation_id = "opt_in")]
    async fn opt_in(
        &self,
        caller: SendsMessages,
        /// E.164, or nationally for the configured country.
        #[oai(validator(max_length = 40))]
        number: Path<String>,
    ) -> Result<Gone, Problem> {
        let number = self.number(&number.0)?;
        let were_off = self.0.store.opt_in(&number, caller.name(), self.0.clock.now()).await?;
        if were_off { Ok(Gone::Gone) } else { Err(Problem::not_found("number that wants no texts")) }
    }
}

impl OptOuts {
    fn number(&self, text: &str) -> Result<PhoneNumber, Problem> {
        self.0.plan.parse(text).map_err(|error| Problem::number("number", &error))
    }
}

fn shown(opted_out: store::OptedOut) -> OptOut {
    OptOut { number: opted_out.number.into(), by: opted_out.by, at: opted_out.at }
}
