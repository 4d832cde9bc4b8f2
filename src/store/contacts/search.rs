//! Lists of contacts, in the order of their names.
//!
//! A prefix is a range of the index of terms, so nothing in a query is a wildcard. There are two ways to
//! the first page: from the few who match to their names in order, or along the names until enough match.
//! Each is slow where the other is fast, so those who match are counted first, up to a bound.

use std::{fmt, str::FromStr};

use entity::{contact, contact_group_member, contact_term};
use sea_orm::{
    ConnectionTrait, FromQueryResult, Iterable,
    sea_query::{Alias, Cond, Expr, ExprTrait, Order, Query, SelectStatement},
};
use uuid::Uuid;

use super::{Contact, read_all, terms};
use crate::{
    id::{ContactId, GroupId},
    store::{Error, Store},
};

/// Which contacts are wanted. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactFilter {
    /// Each word of it begins a word of their names, or their e-mail address; digits begin a number.
    pub prefix: Option<String>,
    /// They are filed under this tag, in whatever case.
    pub tag: Option<String>,
    /// They are in this group.
    pub group: Option<GroupId>,
    /// Whether they are called at all.
    pub enabled: Option<bool>,
}

/// A page of contacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactPage {
    /// Who is on it.
    pub items: Vec<Contact>,
    /// Pass it back for the next page; `None` on the last.
    pub next: Option<ContactCursor>,
}

/// The place in the list behind a contact, whether or not they are still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactCursor {
    sort_name: String,
    id: ContactId,
}

/// A text that is no cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: send `next` of the page before")]
pub struct NotACursor;

impl fmt::Display for ContactCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.id.0.as_bytes()))?;
        f.write_str(&hex::encode(&self.sort_name))
    }
}

impl FromStr for ContactCursor {
    type Err = NotACursor;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = hex::decode(text).map_err(|_| NotACursor)?;
        let (id, name) = bytes.split_first_chunk::<16>().ok_or(NotACursor)?;
        let sort_name = String::from_utf8(name.to_vec()).map_err(|_| NotACursor)?;
        if sort_name.contains('\0') {
            return Err(NotACursor);
        }
        Ok(Self { sort_name, id: ContactId(Uuid::from_bytes(*id)) })
    }
}

/// The most words of a query that count.
const WORDS: usize = 8;
/// From how many on it is faster to go along the names, if there is one condition.
const MANY: u64 = 1_500;
/// The same, if there are several: what one of them lets through the others may not.
const MANY_OF_SEVERAL: u64 = 10_000;

/// Something that a contact must fulfil, and an index knows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// A term in any of these ranges: from, and the first behind.
    Term(Vec<(String, String)>),
    /// A group.
    Group(Uuid),
}

impl Wanted {
    fn prefix(prefix: String) -> (String, String) {
        let behind = format!("{prefix}\u{10ffff}");
        (prefix, behind)
    }

    /// The identifiers of those who fulfil it, some of them more than once.
    fn ids(&self) -> SelectStatement {
        let mut select = Query::select();
        match self {
            Self::Term(ranges) => {
                let column = || Expr::col((contact_term::Entity, contact_term::Column::Term));
                let within = ranges.iter().fold(Cond::any(), |any, (from, behind)| {
                    any.add(column().gte(from.as_str()).and(column().lt(behind.as_str())))
                });
                select
                    .column((contact_term::Entity, contact_term::Column::ContactId))
                    .from(contact_term::Entity)
                    .cond_where(within);
            }
            Self::Group(id) => {
                select
                    .column((contact_group_member::Entity, contact_group_member::Column::ContactId))
                    .from(contact_group_member::Entity)
                    .and_where(
                        Expr::col((contact_group_member::Entity, contact_group_member::Column::GroupId)).eq(*id),
                    );
            }
        }
        select
    }

    /// Whether the contact of this column fulfils it.
    fn holds_for(&self, contact: Expr) -> Expr {
        let mut select = self.ids();
        let own = match self {
            Self::Term(_) => Expr::col((contact_term::Entity, contact_term::Column::ContactId)),
            Self::Group(_) => Expr::col((contact_group_member::Entity, contact_group_member::Column::ContactId)),
        };
        select.and_where(own.eq(contact));
        Expr::exists(select)
    }
}

/// What a query wants: one condition for each word.
fn wanted_words(query: &str) -> Vec<Wanted> {
    let query = query.trim();
    let is_number =
        query.chars().any(|c| c.is_ascii_digit()) && query.chars().all(|c| c.is_ascii_digit() || "+ ()-./".contains(c));
    if is_number {
        let digits: String = query.chars().filter(char::is_ascii_digit).collect();
        // However it is written: with what stands for the plus, or with the zero for calls within a country.
        let without = digits.strip_prefix("00").or_else(|| digits.strip_prefix('0')).filter(|rest| !rest.is_empty());
        let mut spellings = vec![Wanted::prefix(digits.clone())];
        spellings.extend(without.map(|rest| Wanted::prefix(rest.to_owned())));
        return vec![Wanted::Term(spellings)];
    }
    let mut words: Vec<String> = Vec::new();
    for part in query.split_whitespace() {
        if part.contains('@') {
            words.push(terms::term(part));
        } else {
            words.extend(terms::words(part));
        }
    }
    if words.is_empty() && !query.is_empty() {
        words.push(terms::term(query));
    }
    words.truncate(WORDS);
    words.into_iter().map(|word| Wanted::Term(vec![Wanted::prefix(word)])).collect()
}

impl ContactFilter {
    fn wanted(&self) -> Vec<Wanted> {
        let mut wanted = wanted_words(self.prefix.as_deref().unwrap_or_default());
        if let Some(tag) = &self.tag {
            let term = terms::tag(tag);
            let behind = format!("{term}\u{1}");
            wanted.push(Wanted::Term(vec![(term, behind)]));
        }
        wanted.extend(self.group.map(|id| Wanted::Group(id.0)));
        wanted
    }
}

/// The page behind `cursor`: one contact more than `limit`.
fn page(
    filter: &ContactFilter,
    wanted: &[Wanted],
    few: Option<usize>,
    cursor: Option<&ContactCursor>,
    limit: u64,
) -> SelectStatement {
    let column = |column: contact::Column| Expr::col((contact::Entity, column));
    let mut select = Query::select();
    select.columns(contact::Column::iter().map(|column| (contact::Entity, column)));
    let others = |few: usize| wanted.iter().enumerate().filter(move |(at, _)| *at != few).map(|(_, other)| other);
    if let Some(few) = few {
        let found = Alias::new("found");
        let mut ids = wanted[few].ids();
        ids.distinct();
        select.from_subquery(ids, found.clone());
        // So that SQLite begins with those who were found.
        select.cross_join(contact::Entity);
        select.and_where(column(contact::Column::Id).equals((found.clone(), Alias::new("contact_id"))));
        for other in others(few) {
            select.and_where(other.holds_for(Expr::col((found.clone(), Alias::new("contact_id")))));
        }
    } else {
        select.from(contact::Entity);
        for other in wanted {
            select.and_where(other.holds_for(column(contact::Column::Id)));
        }
    }
    if let Some(enabled) = filter.enabled {
        select.and_where(column(contact::Column::Enabled).eq(enabled));
    }
    if let Some(ContactCursor { sort_name, id }) = cursor {
        let place = Expr::tuple([column(contact::Column::SortName), column(contact::Column::Id)]);
        select.and_where(place.gt(Expr::tuple([Expr::val(sort_name.as_str()), Expr::val(id.0)])));
    }
    select
        .order_by((contact::Entity, contact::Column::SortName), Order::Asc)
        .order_by((contact::Entity, contact::Column::Id), Order::Asc)
        .limit(limit.saturating_add(1));
    select
}

impl Store {
    /// The contacts that are wanted, by name, at most `limit` of them behind `cursor`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn contacts(
        &self,
        filter: &ContactFilter,
        cursor: Option<&ContactCursor>,
        limit: u64,
    ) -> Result<ContactPage, Error> {
        let wanted = filter.wanted();
        let few = self.fewest(&wanted).await?;
        let select = page(filter, &wanted, few, cursor, limit);
        let statement = self.read.get_database_backend().build(&select);
        let mut rows = contact::Model::find_by_statement(statement).all(&self.read).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows
            .last()
            .filter(|_| more)
            .map(|last| ContactCursor { sort_name: last.sort_name.clone(), id: ContactId(last.id) });
        Ok(ContactPage { items: read_all(&self.read, rows).await?, next })
    }

    /// Which condition the fewest fulfil, unless those are many as well.
    async fn fewest(&self, wanted: &[Wanted]) -> Result<Option<usize>, Error> {
        let many = if wanted.len() > 1 { MANY_OF_SEVERAL } else { MANY };
        let mut fewest = None;
        for (at, wanted) in wanted.iter().enumerate() {
            let bound = fewest.map_or(many, |(count, _)| count);
            let mut ids = wanted.ids();
            ids.limit(bound);
            let count = Query::select().expr(Expr::cust("COUNT(*)")).from_subquery(ids, Alias::new("found")).to_owned();
            let row = self.read.query_one(&count).await?;
            let count = row.map(|row| row.try_get_by_index::<i64>(0)).transpose()?.unwrap_or_default();
            let count = u64::try_from(count).unwrap_or_default();
            if count < bound {
                fewest = Some((count, at));
            }
        }
        Ok(fewest.map(|(_, at)| at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(query: &str) -> Vec<Vec<String>> {
        let ranges = |wanted| match wanted {
            Wanted::Term(ranges) => ranges.into_iter().map(|(from, _)| from).collect(),
            Wanted::Group(_) => Vec::new(),
        };
        wanted_words(query).into_iter().map(ranges).collect()
    }

    #[test]
    fn a_query_is_words_or_a_number() {
        assert_eq!(prefixes("  Anna-Lena  Öz"), [["anna"], ["lena"], ["öz"]]);
        assert_eq!(prefixes("+39 (333) 12"), [["3933312"]]);
        assert_eq!(prefixes("0039 333"), [["0039333", "39333"]]);
        assert_eq!(prefixes("020 7"), [["0207", "207"]]);
        assert_eq!(prefixes("0"), [["0"]]);
        assert_eq!(prefixes("ana@Example.c"), [["ana@example.c"]]);
        assert_eq!(prefixes("24h desk"), [["24h"], ["desk"]]);
        assert_eq!(prefixes("a%"), [["a"]]);
        assert_eq!(prefixes("%"), [["%"]]);
        assert_eq!(prefixes(" "), Vec::<Vec<String>>::new());
        assert_eq!(prefixes("a b c d e f g h i j").len(), WORDS);
    }

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let cursor = ContactCursor { sort_name: "ana öz".into(), id: ContactId(Uuid::from_u128(7)) };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for nonsense in ["", "zz", "00", &"0".repeat(31), &format!("{}ff", "0".repeat(32)), &"0".repeat(34)] {
            assert_eq!(nonsense.parse::<ContactCursor>(), Err(NotACursor), "{nonsense}");
        }
    }
}
