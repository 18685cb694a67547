//! Scripts of inputs and the effects that they have, line by line.

mod credits;
mod durability;
mod hedges;
mod joining;
mod leases;
mod lines;
mod modes;
mod overflows;
mod removals;
mod runs;
mod runs_of_scripts;
mod script;
mod settings;
mod shards;
mod sharing;
mod updates;

use script::check;
