//! Answers with a problem, for the OpenAPI document.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

/// An answer with a problem.
pub(super) fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(description)
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .build()
}

macro_rules! problems {
    ($($name:ident = $status:literal, $description:literal;)+) => {
        $(
            #[doc = $description]
            pub(super) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    BTreeMap::from([($status.to_owned(), problem($description).into())])
                }
            }
        )+
    };
}

problems! {
    BadRequest = "400", "The query, a part of the address or the body can't be read.";
    NotFound = "404", "There is none of this name or id.";
    Conflict = "409", "It clashes with what there is.";
    TooLarge = "413", "The body is longer than this address takes.";
    Unprocessable = "422", "It can be read, but makes no sense.";
    TooManyRequests = "429", "There is no room for more of this kind.";
    LedgerOff = "503", "The ledger is off or can't be written, or the server goes down.";
    NotStored = "507", "The order holds, but could not be stored yet.";
}
