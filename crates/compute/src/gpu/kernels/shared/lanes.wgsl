// One invocation for each value; workgroups are numbered over two dimensions, as one has at most 65,535.

override LANES: u32 = 256;

fn value_index(workgroup: vec3u, workgroups: vec3u, lane: u32) -> u32 {
    return (workgroup.y * workgroups.x + workgroup.x) * LANES + lane;
}
