use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "incident")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub dedup_key: String,
    pub open_key: Option<String>,
    pub policy_name: Option<String>,
    pub policy: Option<Json>,
    pub source: String,
    #[sea_orm(column_type = "Text")]
    pub summary: String,
    #[sea_orm(column_type = "Text")]
    pub details: String,
    pub severity: String,
    pub labels: Json,
    pub truncated: i32,
    pub state: String,
    pub state_document: Json,
    pub due_at: Option<DateTimeUtc>,
    pub version: i64,
    pub raised_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub policy_id: Option<Uuid>,
    pub policy_version: Option<i64>,
    pub turn: i32,
    pub hushable: bool,
    pub traceparent: Option<String>,
    pub code: Option<i32>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
