use sea_orm::entity::prelude::*;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "contact")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    pub surname: String,
    pub sort_name: String,
    pub language: String,
    pub time_zone: String,
    pub email: String,
    pub sms_number: Option<String>,
    pub address: String,
    pub zip_code: String,
    pub city: String,
    pub state: String,
    pub country: String,
    #[sea_orm(column_type = "Text")]
    pub annotations: String,
    pub tags: Json,
    pub enabled: bool,
    pub pin_hash: Option<String>,
    pub tell_when_over: bool,
    pub version: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub tell_shifts: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
