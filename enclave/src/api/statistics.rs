//! The route to releases of metrics. The sentinel counts, decides and adds the noise; the worker carries what comes of it.

use super::error::ApiError;
use super::{proven, read_json, token};
use crate::answer::{Body, whole};
use crate::request::{House, asker};
use crate::session::Session;
use adyton_wire::control::{MAX_PURPOSE, NoStatistic, Statistic};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// Largest request: two names and a number.
const MAX_BODY: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatisticRequest {
    metric: String,
    purpose: String,
    epsilon_milli: u32,
}

/// `POST /adyton/v1/statistics`.
///
/// # Errors
/// [`ApiError`]
pub(super) async fn release(
    house: &House,
    session: &Session,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let asker = asker(&proven(session)?, token(&request));
    let StatisticRequest { metric, purpose, epsilon_milli } = read_json(house, request, MAX_BODY).await?;
    if metric.len() > MAX_PURPOSE || purpose.len() > MAX_PURPOSE {
        return Err(ApiError::invalid("invalid_value", "metric and purpose have at most 64 bytes each"));
    }
    let told = house.gate.statistic(asker, (metric, purpose), epsilon_milli).await;
    match told.map_err(|_silent| ApiError::offline())? {
        Ok(statistic) => Ok(whole(StatusCode::OK, shown(&statistic).to_string().into_bytes())),
        Err(why) => Err(refused(why)),
    }
}

fn refused(why: NoStatistic) -> ApiError {
    match why {
        NoStatistic::Denied(denial) => denial.into(),
        NoStatistic::UnknownMetric => {
            let message = "no such metric is declared in telemetry.toml of this enclave";
            ApiError::parameter("metric", "no_such_metric", message)
        }
        NoStatistic::Price => ApiError::parameter(
            "epsilon_milli",
            "invalid_epsilon",
            "epsilon_milli is not a price that can be paid",
        ),
        NoStatistic::Exhausted => ApiError::store(
            "budget_exhausted",
            "the budget of epsilon does not allow this release; ask for less, or wait for a release with another budget",
        ),
        NoStatistic::NoNoise => {
            ApiError::store("no_noise", "there was no noise to be had; it is paid all the same")
        }
    }
}

fn shown(statistic: &Statistic) -> Value {
    let rows = statistic
        .rows
        .iter()
        .map(|row| json!({ "label": row.label, "value": row.value, "low": row.low, "high": row.high }));
    json!({
        "metric": statistic.metric,
        "number": statistic.number,
        "epsilon": statistic.epsilon,
        "delta": statistic.delta,
        "spent": statistic.spent.0,
        "budget": statistic.spent.1,
        "days": [statistic.days.0, statistic.days.1],
        "rows": rows.collect::<Vec<_>>(),
    })
}
