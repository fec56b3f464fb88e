//! Statements that the databases may keep prepared. Diesel has every UPDATE and every `sql_query`
//! prepared anew, since their text might differ each time: on PostgreSQL one more round trip for
//! each, on SQLite a fifth of what the writer does. A text that is one of few is worth keeping; one
//! that a value is written into must not come here, since what is kept is kept for good.

use std::borrow::Cow;

use diesel::expression::{AsExpression, TypedExpressionType};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error;
use diesel::sql_types::{SqlType, Untyped};

use super::MultiBackend;

/// SQL with values for its placeholders `$1`, `$2`, …
pub(super) struct Statement<'a> {
    sql: Cow<'a, str>,
    values: Vec<Box<dyn QueryFragment<MultiBackend> + 'a>>,
}

/// A statement whose text is one of few.
pub(super) fn statement<'a>(sql: impl Into<Cow<'a, str>>) -> Statement<'a> {
    Statement {
        sql: sql.into(),
        values: Vec::new(),
    }
}

impl<'a> Statement<'a> {
    /// The value of the next placeholder.
    pub fn bind<ST, T>(mut self, value: T) -> Self
    where
        ST: SqlType + TypedExpressionType,
        T: AsExpression<ST>,
        T::Expression: QueryFragment<MultiBackend> + 'a,
    {
        self.values.push(Box::new(value.as_expression()));
        self
    }
}

impl QueryFragment<MultiBackend> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        let mut rest = &*self.sql;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_sql(before);
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let (number, behind) = after.split_at(digits);
            let place: Option<usize> = number.parse().ok();
            let value = place.and_then(|it| self.values.get(it.checked_sub(1)?));
            let missing = || Error::QueryBuilderError(format!("no value for ${number}").into());
            value.ok_or_else(missing)?.walk_ast(out.reborrow())?;
            rest = behind;
        }
        out.push_sql(rest);
        Ok(())
    }
}

/// Known by its text.
impl QueryId for Statement<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = Untyped;
}

impl<Conn> RunQueryDsl<Conn> for Statement<'_> {}
