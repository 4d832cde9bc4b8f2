use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "delivery")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub lane: String,
    pub webhook_id: Option<Uuid>,
    pub event_id: Uuid,
    pub incident_id: Option<Uuid>,
    pub sequence: i64,
    pub kind: String,
    pub url: Option<String>,
    pub body: String,
    pub status: String,
    pub tries: i32,
    pub next_at: Option<DateTimeUtc>,
    pub answer: Option<i32>,
    pub failure: Option<String>,
    pub created_at: DateTimeUtc,
    pub ended_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
