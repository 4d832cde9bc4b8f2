use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "message")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub incident_id: Option<Uuid>,
    pub run: Option<i32>,
    pub contact_id: Option<Uuid>,
    pub contact_name: Option<String>,
    pub number: String,
    pub kind: String,
    pub priority: i32,
    #[sea_orm(column_type = "Text", nullable)]
    pub body: Option<String>,
    pub status: String,
    pub attempts: i32,
    pub route: Option<String>,
    pub node: Option<String>,
    pub claimed_at: Option<DateTimeUtc>,
    pub not_before: DateTimeUtc,
    pub expires_at: DateTimeUtc,
    pub segments: Option<i32>,
    #[sea_orm(column_type = "Text", nullable)]
    pub failure: Option<String>,
    pub source: Option<String>,
    pub created_at: DateTimeUtc,
    pub sent_at: Option<DateTimeUtc>,
    pub ended_at: Option<DateTimeUtc>,
    pub round: Option<i32>,
    pub step: Option<i32>,
    pub bundle: Option<Uuid>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
