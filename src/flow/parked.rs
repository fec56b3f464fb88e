//! A job that nobody will try again by itself is for a person.

use super::House;
use crate::store::Claim;

/// Tells the operator of a job that panicked so often that it is parked.
pub async fn parked(house: &House, claim: &Claim) {
    let words = format!(
        "the job {} panicked {} times and is not tried again; look at the log, then: paylink jobs retry {}",
        claim.key(),
        claim.tries + 1,
        claim.key()
    );
    house
        .alert("job_parked", &words, Some(claim.job.link))
        .await;
}
