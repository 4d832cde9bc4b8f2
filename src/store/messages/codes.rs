//! The code that stands for an incident in its texts, and in the answers to them: a number from 1 to 999.
//!
//! Whoever answers "ack 17" to an old text must not take another incident. So the next incident gets the next
//! number, and those after 999 begin again at 1, without the numbers that open incidents have. No two open
//! incidents have the same; where all 999 are taken one has none. An incident has a code once it is texted about.

use std::collections::HashSet;

use entity::{incident, incident_code};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};
use uuid::Uuid;

use crate::{
    id::IncidentId,
    store::{Error, Store, writer::Tx},
};

/// Four characters of a text, with the blank.
const LAST: i64 = 999;

impl Store {
    /// The code of an incident, if it has one.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn code_of(&self, id: IncidentId) -> Result<Option<u32>, Error> {
        let code: Option<Option<i32>> = incident::Entity::find_by_id(id.0)
            .select_only()
            .column(incident::Column::Code)
            .into_tuple()
            .one(&self.read)
            .await?;
        Ok(code.flatten().and_then(|code| code.try_into().ok()))
    }

    /// The open incident with this code.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn incident_of_code(&self, code: u32) -> Result<Option<IncidentId>, Error> {
        let id: Option<Uuid> = incident::Entity::find()
            .select_only()
            .column(incident::Column::Id)
            .filter(incident::Column::Code.eq(super::number(code)))
            .filter(incident::Column::OpenKey.is_not_null())
            .into_tuple()
            .one(&self.read)
            .await?;
        Ok(id.map(IncidentId))
    }
}

/// Gives each of these a code that has none and is open.
pub(super) async fn give(tx: &Tx, incidents: Vec<Uuid>) -> Result<(), Error> {
    let without: Vec<Uuid> = incident::Entity::find()
        .select_only()
        .column(incident::Column::Id)
        .filter(incident::Column::Id.is_in(incidents))
        .filter(incident::Column::Code.is_null())
        .filter(incident::Column::OpenKey.is_not_null())
        .order_by_asc(incident::Column::Id)
        .into_tuple()
        .all(tx)
        .await?;
    if without.is_empty() {
        return Ok(());
    }
    let mut codes = free(tx, without.len()).await?.into_iter();
    for id in without {
        let Some(code) = codes.next() else { return Ok(()) };
        let update = incident::ActiveModel { code: Set(Some(code)), ..Default::default() };
        incident::Entity::update_many().set(update).filter(incident::Column::Id.eq(id)).exec(tx).await?;
    }
    Ok(())
}

/// The next codes that no open incident has; fewer, if there are no more.
async fn free(tx: &Tx, count: usize) -> Result<Vec<i32>, Error> {
    // Whoever counts holds the row until the commit: no other server gives out the same meanwhile.
    let last = counted(tx, 0).await?;
    let taken: Vec<Option<i32>> = incident::Entity::find()
        .select_only()
        .column(incident::Column::Code)
        .filter(incident::Column::Code.is_not_null())
        .filter(incident::Column::OpenKey.is_not_null())
        .into_tuple()
        .all(tx)
        .await?;
    let taken: HashSet<i64> = taken.into_iter().flatten().map(i64::from).collect();
    let (codes, passed) = next(last, &taken, count);
    counted(tx, passed).await?;
    Ok(codes)
}

/// So many codes after `last` that are not taken, and how many numbers were passed to find them.
fn next(last: i64, taken: &HashSet<i64>, count: usize) -> (Vec<i32>, i64) {
    let (mut codes, mut passed) = (Vec::new(), 0);
    while codes.len() < count && passed < LAST {
        passed += 1;
        let code = (last + passed - 1).rem_euclid(LAST) + 1;
        if !taken.contains(&code) {
            codes.extend(i32::try_from(code));
        }
    }
    (codes, passed)
}

async fn counted(tx: &Tx, by: i64) -> Result<i64, Error> {
    let counter = Query::update()
        .table(incident_code::Entity)
        .value(incident_code::Column::Last, Expr::col(incident_code::Column::Last).add(by))
        .and_where(Expr::col(incident_code::Column::Id).eq(1))
        .returning_col(incident_code::Column::Last)
        .to_owned();
    let row = tx.query_one(&counter).await?;
    let last = row.map(|row| row.try_get::<i64>("", "last")).transpose()?;
    last.ok_or_else(|| Error::Unavailable("the counter of incidents' codes is not there".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_up_begin_again_and_leave_out_what_is_taken() {
        let taken = HashSet::from([2, 998, 999]);
        assert_eq!(next(0, &HashSet::new(), 3), (vec![1, 2, 3], 3));
        assert_eq!(next(996, &taken, 3), (vec![997, 1, 3], 6));
        assert_eq!(next(999, &HashSet::new(), 1), (vec![1], 1));
        let all: HashSet<i64> = (1..=999).collect();
        assert_eq!(next(5, &all, 1), (vec![], 999), "none is left");
        assert_eq!(next(0, &HashSet::new(), 2000).0.len(), 999, "none twice");
    }
}
