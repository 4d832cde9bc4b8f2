use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "call")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub line: String,
    pub contact_id: Option<Uuid>,
    pub contact_name: Option<String>,
    pub number: String,
    pub number_index: i32,
    pub status: String,
    pub closed: bool,
    pub token: String,
    pub created_at: DateTimeUtc,
    pub dialed_at: Option<DateTimeUtc>,
    pub ringing_at: Option<DateTimeUtc>,
    pub answered_at: Option<DateTimeUtc>,
    pub ended_at: Option<DateTimeUtc>,
    pub found_route: bool,
    pub disposition: Option<String>,
    pub cause: Option<i32>,
    pub cause_text: Option<String>,
    pub sip_status: Option<i32>,
    pub failure: Option<String>,
    pub heard_ms: i64,
    pub heard: bool,
    pub digits: String,
    pub canceled_by: Option<String>,
    pub given_up: bool,
    pub node: Option<String>,
    pub alone: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
