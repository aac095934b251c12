invariant gl_Position;
uniform mat4 clip_from_head;
uniform sampler2D points;   // one row a strand, root first; w is how open to light it lies
uniform float widen;
uniform sampler2D looks;    // one texel a strand: colour (linear), half width in cm
in int dummy_vertex;
out vec3 v_position, v_tangent, v_color;
out vec2 v_across;          // along (0 root to 1 tip), across (-1 to 1)
out float v_open;
flat out uint v_strand;

void main() {
    ivec2 size = textureSize(points, 0);
    int strand = dummy_vertex / (2 * size.x);
    int step_index = (dummy_vertex / 2) % size.x;
    float side = float(dummy_vertex % 2) * 2.0 - 1.0;
    vec4 here = texelFetch(points, ivec2(step_index, strand), 0);
    vec3 before = texelFetch(points, ivec2(max(step_index - 1, 0), strand), 0).xyz;
    vec3 after = texelFetch(points, ivec2(min(step_index + 1, size.x - 1), strand), 0).xyz;
    vec3 tangent = after - before + vec3(0.0, -1e-5, 0.0);
    vec3 position = here.xyz;
    bend(position, tangent);
    vec4 look = texelFetch(looks, ivec2(0, strand), 0);
    float along = float(step_index) / float(size.x - 1);
    vec3 sideways = normalize(cross(normalize(tangent), normalize(camera - position)) + 1e-6);
    position += sideways * side * look.w * widen * (1.0 - 0.75 * along * along * along);
    v_position = position; v_tangent = tangent; v_color = look.rgb;
    v_across = vec2(along, side); v_open = here.w;
    v_strand = uint(strand);
    gl_ClipDistance[0] = 1.0;
    gl_Position = clip_from_head * vec4(position, 1.0);
}
