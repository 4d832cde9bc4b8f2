//! Lists of contacts, in the order of their names.
//!
//! A prefix is a range of the index of terms, so nothing in a query is a wildcard. There are two ways to
//! a page: from everybody who matches to their names in order, or along the names until enough match.
//! Each is slow where the other is fast. So those who match are counted first, up to a bound; and if they
//! are many, but none of them near, the second way is left for the first.

use std::{fmt, str::FromStr};

use entity::{contact, contact_group_member, contact_term};
use sea_orm::{
    ConnectionTrait, EntityTrait, FromQueryResult, Iterable, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Alias, BinOper, Cond, Expr, ExprTrait, Order, Query, SelectStatement, UnionType},
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
/// Up to so many contacts can be looked at one by one.
const FEW: u64 = 500;
/// More terms than this are not worth reading: it is faster to go along the names.
const MANY: u64 = 20_000;
/// How many contacts are looked at along the names.
const NEAR: u64 = 3_000;

/// Something that a contact must fulfil, and an index knows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// A term in any of these ranges: from, and the first behind.
    Term(Vec<(String, String)>),
    /// This very term.
    Exactly(String),
    /// A group.
    Group(Uuid),
}

impl Wanted {
    fn prefix(prefix: String) -> (String, String) {
        let behind = format!("{prefix}\u{10ffff}");
        (prefix, behind)
    }

    /// The names and identifiers of those who fulfil it, some of them more than once; of a group the
    /// identifiers only.
    fn ids(&self) -> SelectStatement {
        let mut select = Query::select();
        let term = |column: contact_term::Column| (contact_term::Entity, column);
        let is = match self {
            Self::Term(ranges) => {
                let within = |(from, behind): &(String, String)| {
                    let column = || Expr::col(term(contact_term::Column::Term));
                    column().gte(from.as_str()).and(column().lt(behind.as_str()))
                };
                ranges.iter().map(within).fold(Cond::any(), Cond::add)
            }
            Self::Exactly(text) => Cond::all().add(Expr::col(term(contact_term::Column::Term)).eq(text.as_str())),
            Self::Group(id) => {
                let group = Expr::col((contact_group_member::Entity, contact_group_member::Column::GroupId));
                return select
                    .column((contact_group_member::Entity, contact_group_member::Column::ContactId))
                    .from(contact_group_member::Entity)
                    .and_where(group.eq(*id))
                    .take();
            }
        };
        select
            .column(term(contact_term::Column::SortName))
            .column(term(contact_term::Column::ContactId))
            .from(contact_term::Entity)
            .cond_where(is)
            .take()
    }

    /// Whether the contact of this column fulfils it.
    fn holds_for(&self, contact: Expr) -> Expr {
        let own = match self {
            Self::Group(_) => Expr::col((contact_group_member::Entity, contact_group_member::Column::ContactId)),
            _ => Expr::col((contact_term::Entity, contact_term::Column::ContactId)),
        };
        Expr::exists(self.ids().and_where(own.eq(contact)).take())
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
            wanted.push(Wanted::Exactly(terms::tag(tag)));
        }
        wanted.extend(self.group.map(|id| Wanted::Group(id.0)));
        wanted
    }
}

/// The columns of a contact.
fn column(column: contact::Column) -> Expr {
    Expr::col((contact::Entity, column))
}

/// Behind a place in the order of names; that place included, if it is where to stop.
fn place(names: Expr, ids: Expr, ContactCursor { sort_name, id }: &ContactCursor, compare: BinOper) -> Expr {
    let there = Expr::tuple([Expr::val(sort_name.as_str()), Expr::val(id.0)]);
    Expr::tuple([names, ids]).binary(compare, there)
}

/// Which page.
struct Request<'a> {
    filter: &'a ContactFilter,
    wanted: &'a [Wanted],
    cursor: Option<&'a ContactCursor>,
    limit: u64,
}

impl Request<'_> {
    /// Contacts by name, one more than fit.
    fn contacts(&self) -> SelectStatement {
        let mut select = Query::select();
        select
            .columns(contact::Column::iter().map(|column| (contact::Entity, column)))
            .order_by((contact::Entity, contact::Column::SortName), Order::Asc)
            .order_by((contact::Entity, contact::Column::Id), Order::Asc)
            .limit(self.limit.saturating_add(1));
        select
    }

    /// Along the names, to `end` if there is one.
    fn along(&self, end: Option<&ContactCursor>) -> SelectStatement {
        let mut select = self.contacts();
        select.from(contact::Entity);
        for (place_of, compare) in [(self.cursor, BinOper::GreaterThan), (end, BinOper::SmallerThanOrEqual)] {
            if let Some(there) = place_of {
                let (names, ids) = (column(contact::Column::SortName), column(contact::Column::Id));
                select.and_where(place(names, ids, there, compare));
            }
        }
        if let Some(enabled) = self.filter.enabled {
            select.and_where(column(contact::Column::Enabled).eq(enabled));
        }
        for wanted in self.wanted {
            select.and_where(wanted.holds_for(column(contact::Column::Id)));
        }
        select
    }

    /// From everybody who fulfils all of some conditions.
    fn from(&self, some: &[usize]) -> SelectStatement {
        let found = Alias::new("found");
        let found_id = || Expr::col((found.clone(), Alias::new("contact_id")));
        let mut all = some.iter().map(|&at| self.wanted[at].ids()).map(|mut ids| {
            // The names stand beside the terms: only who is on the page is looked at as a contact.
            if let (Some(cursor), false) = (self.cursor, self.is_group(some)) {
                let names = Expr::col((contact_term::Entity, contact_term::Column::SortName));
                let own = Expr::col((contact_term::Entity, contact_term::Column::ContactId));
                ids.and_where(place(names, own, cursor, BinOper::GreaterThan));
            }
            ids
        });
        let mut ids = all.next().unwrap_or_else(Query::select);
        let others: Vec<SelectStatement> = all.collect();
        if others.is_empty() {
            ids.distinct();
        }
        for other in others {
            ids.union(UnionType::Intersect, other);
        }
        if !self.is_group(some) && some.len() == self.wanted.len() && self.filter.enabled.is_none() {
            ids.order_by(Alias::new("sort_name"), Order::Asc)
                .order_by(Alias::new("contact_id"), Order::Asc)
                .limit(self.limit.saturating_add(1));
        }
        let mut select = self.contacts();
        select.from_subquery(ids, found.clone());
        // So that SQLite begins with those who were found.
        select.cross_join(contact::Entity);
        for (_, other) in self.wanted.iter().enumerate().filter(|(at, _)| !some.contains(at)) {
            select.and_where(other.holds_for(found_id()));
        }
        select.and_where(column(contact::Column::Id).eq(found_id()));
        if let Some(enabled) = self.filter.enabled {
            select.and_where(column(contact::Column::Enabled).eq(enabled));
        }
        if let Some(cursor) = self.cursor {
            let (names, ids) = (column(contact::Column::SortName), column(contact::Column::Id));
            select.and_where(place(names, ids, cursor, BinOper::GreaterThan));
        }
        select
    }

    /// A group has no names beside it: it is never combined with others.
    fn is_group(&self, some: &[usize]) -> bool {
        some.iter().any(|&at| matches!(self.wanted[at], Wanted::Group(_)))
    }
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
        let request = Request { filter, wanted: &wanted, cursor, limit };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let counts = self.counts(&wanted).await?;
        let fewest = (0..wanted.len()).min_by_key(|&at| counts[at]);
        let is_term = |at: &usize| !matches!(wanted[*at], Wanted::Group(_));
        let mut rows = match (fewest, wanted.as_slice()) {
            (None, _) => self.rows(&request.along(None)).await?,
            // These stand in order already.
            (Some(_), [Wanted::Exactly(_)]) => self.rows(&request.from(&[0])).await?,
            (Some(fewest), _) if counts[fewest] < FEW || (counts[fewest] < MANY && !is_term(&fewest)) => {
                self.rows(&request.from(&[fewest])).await?
            }
            (Some(fewest), _) if counts[fewest] < MANY => {
                let some: Vec<usize> = (0..wanted.len()).filter(|at| is_term(at) && counts[*at] < MANY).collect();
                self.rows(&request.from(&some)).await?
            }
            (Some(fewest), _) => {
                let end = self.far(cursor).await?;
                let near = self.rows(&request.along(end.as_ref())).await?;
                if near.len() > limit || end.is_none() {
                    near
                } else {
                    let terms: Vec<usize> = (0..wanted.len()).filter(is_term).collect();
                    let some = if terms.is_empty() { vec![fewest] } else { terms };
                    self.rows(&request.from(&some)).await?
                }
            }
        };
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows
            .last()
            .filter(|_| more)
            .map(|last| ContactCursor { sort_name: last.sort_name.clone(), id: ContactId(last.id) });
        Ok(ContactPage { items: read_all(&self.read, rows).await?, next })
    }

    async fn rows(&self, select: &SelectStatement) -> Result<Vec<contact::Model>, Error> {
        let statement = self.read.get_database_backend().build(select);
        Ok(contact::Model::find_by_statement(statement).all(&self.read).await?)
    }

    /// How many terms or members each condition has, if it is less than [`MANY`].
    async fn counts(&self, wanted: &[Wanted]) -> Result<Vec<u64>, Error> {
        let mut counts = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let ids = wanted.ids().limit(MANY).take();
            let count = Query::select().expr(Expr::cust("COUNT(*)")).from_subquery(ids, Alias::new("found")).take();
            let row = self.read.query_one(&count).await?;
            let count = row.map(|row| row.try_get_by_index::<i64>(0)).transpose()?.unwrap_or_default();
            counts.push(u64::try_from(count).unwrap_or_default());
        }
        Ok(counts)
    }

    /// The place so many contacts behind another one that it is not worth looking on; none if the list
    /// ends before.
    async fn far(&self, cursor: Option<&ContactCursor>) -> Result<Option<ContactCursor>, Error> {
        let mut query = contact::Entity::find().select_only();
        if let Some(cursor) = cursor {
            let (names, ids) = (column(contact::Column::SortName), column(contact::Column::Id));
            query = query.filter(place(names, ids, cursor, BinOper::GreaterThan));
        }
        let there: Option<(String, Uuid)> = query
            .column(contact::Column::SortName)
            .column(contact::Column::Id)
            .order_by_asc(contact::Column::SortName)
            .order_by_asc(contact::Column::Id)
            .offset(NEAR)
            .into_tuple()
            .one(&self.read)
            .await?;
        Ok(there.map(|(sort_name, id)| ContactCursor { sort_name, id: ContactId(id) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(query: &str) -> Vec<Vec<String>> {
        let ranges = |wanted| match wanted {
            Wanted::Term(ranges) => ranges.into_iter().map(|(from, _)| from).collect(),
            Wanted::Exactly(_) | Wanted::Group(_) => Vec::new(),
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
