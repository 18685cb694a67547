//! Scripts of inputs and the effects that they have, line by line.

mod credits;
mod durability;
mod joining;
mod leases;
mod lines;
mod overflows;
mod runs;
mod script;
mod updates;

use script::check;
