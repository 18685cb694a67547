// sums[j] = sum(row: values[row, j]); a workgroup has 8 columns, whose rows 32 invocations share.

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) invocation: u32,
) {
    let column = (workgroup.y * workgroups.x + workgroup.x) * 8 + invocation % 8;
    var sum = 0.0;
    if column < p.columns {
        for (var row = invocation / 8; row < p.rows; row += 32) {
            sum += values[row * p.columns + column];
        }
    }
    partial[invocation] = sum;
    workgroupBarrier();
    for (var half = 16u; half > 0; half /= 2) {
        if invocation < half * 8 {
            partial[invocation] += partial[invocation + half * 8];
        }
        workgroupBarrier();
    }
    if invocation < 8 && column < p.columns {
        let before = select(0.0, sums[p.sums_start + column], p.adds != 0);
        sums[p.sums_start + column] = before + partial[invocation];
    }
}
