//! `paylink keys`: works beside a serving process; a key that is made is taken at once, one that
//! is revoked no longer after 5 s.

use jiff::{Span, Timestamp};
use secrecy::ExposeSecret;
use serde_json::json;

use super::out::{note, say};
use super::{Failure, KeysCommand, environment, log, rooms};
use crate::access::{ApiKey, NewKey};
use crate::clock::Clock;
use crate::config::{Base, Needs};
use crate::link::{KeyId, Mode};
use crate::random::Random;
use crate::store::Holding;
use crate::view::Instant;

pub(super) async fn keys(command: KeysCommand) -> Result<(), Failure> {
    let needs = match command {
        KeysCommand::Create { .. } => Needs::KeysCreate,
        KeysCommand::List { .. } | KeysCommand::Revoke { .. } => Needs::Keys,
    };
    let base = Base::from_env(&environment, needs)?;
    log::begin(&base.log);
    let now = Clock::system().now();
    match command {
        KeysCommand::Create {
            name,
            role,
            store,
            expires,
        } => {
            let expires_at = expires.as_deref().map(|text| end(text, now)).transpose()?;
            let new = NewKey {
                name,
                role,
                store,
                // Needs::KeysCreate has refused a configuration without it
                mode: base.mode.unwrap_or(Mode::Test),
                expires_at,
            };
            create(&base, new, now).await
        }
        KeysCommand::List { json } => list(&base, json).await,
        KeysCommand::Revoke { id } => revoke(&base, id, now).await,
    }
}

/// A time, or a duration from now.
fn end(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let wrong = || {
        Failure::Usage(vec![
            "--expires: give a time such as 2027-01-01T00:00:00Z or a duration such as P90D, in the future".into(),
        ])
    };
    let end = if let Ok(time) = text.parse::<Timestamp>() {
        time
    } else {
        let span: Span = text.parse().map_err(|_| wrong())?;
        let here = jiff::tz::Offset::UTC.to_datetime(now);
        let end = here.checked_add(span).map_err(|_| wrong())?;
        jiff::tz::Offset::UTC
            .to_timestamp(end)
            .map_err(|_| wrong())?
    };
    if end <= now {
        return Err(wrong());
    }
    Ok(end)
}

async fn create(base: &Base, new: NewKey, now: Timestamp) -> Result<(), Failure> {
    let vault = rooms::vault(base, &Random::os()).await?;
    let store =
        rooms::open_store(base, Some(vault.clone()), Holding::Beside, Clock::system()).await?;
    store
        .migrate_if_empty()
        .await
        .map_err(|error| Failure::failed("the empty database could not be prepared", &error))?;
    rooms::same_secret(&store).await?;
    let (key, secret) = ApiKey::mint(new, &vault, now, &Random::os());
    store
        .write(move |tx| tx.insert_key(&key))
        .await
        .map_err(|error| Failure::failed("the key could not be stored", &error))?;
    say!("{}", secret.expose_secret())?;
    Ok(())
}

async fn list(base: &Base, as_json: bool) -> Result<(), Failure> {
    let vault = rooms::vault(base, &Random::os()).await?;
    let store = rooms::open_store(base, Some(vault), Holding::Beside, Clock::system()).await?;
    // the method alone is not general over a transaction's lifetime
    #[allow(clippy::redundant_closure_for_method_calls)]
    let keys = store
        .read(|tx| tx.keys())
        .await
        .map_err(|error| Failure::failed("the keys could not be read", &error))?;
    if as_json {
        for key in &keys {
            say!(
                "{}",
                json!({
                    "id": key.id.to_string(), "name": key.name, "role": key.role.as_str(),
                    "store": key.store, "mode": key.mode.as_str(),
                    "created_at": Instant(key.created_at),
                    "expires_at": key.expires_at.map(Instant),
                    "revoked_at": key.revoked_at.map(Instant),
                })
            )?;
        }
        return Ok(());
    }
    if keys.is_empty() {
        note!("no keys yet; make one with: paylink keys create --name NAME --role ROLE");
    }
    for key in &keys {
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {at:.0}"),
            (None, Some(at)) => format!("until {at:.0}"),
            (None, None) => "no end".into(),
        };
        say!(
            "{}  {:<10}  {:<12}  {:<4}  {:<28}  {}",
            key.id,
            key.role.as_str(),
            key.store,
            key.mode.as_str(),
            state,
            key.name
        )?;
    }
    Ok(())
}

async fn revoke(base: &Base, id: KeyId, now: Timestamp) -> Result<(), Failure> {
    let vault = rooms::vault(base, &Random::os()).await?;
    let store = rooms::open_store(base, Some(vault), Holding::Beside, Clock::system()).await?;
    let revoked = store
        .write(move |tx| tx.revoke_key(id, now))
        .await
        .map_err(|error| Failure::failed("the key could not be revoked", &error))?;
    if revoked {
        say!("{id} is revoked")?;
        Ok(())
    } else {
        Err(Failure::Failed(format!(
            "there is no live key {id}; see: paylink keys list"
        )))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn an_end_is_a_time_or_a_duration_ahead() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        assert_eq!(
            end("P90D", now).unwrap() - SignedDuration::from_hours(90 * 24),
            now
        );
        assert_eq!(
            end("2027-01-01T00:00:00Z", now).unwrap().to_string(),
            "2027-01-01T00:00:00Z"
        );
        for wrong in ["", "yesterday", "2020-01-01T00:00:00Z", "-P1D", "P0D"] {
            assert!(end(wrong, now).is_err(), "{wrong}");
        }
    }
}
