use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub incident_id: Option<Uuid>,
    pub call_id: Option<Uuid>,
    pub at: DateTimeUtc,
    pub kind: String,
    pub data: Json,
    pub schedule_id: Option<Uuid>,
    pub sequence: Option<i64>,
    pub message_id: Option<Uuid>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
