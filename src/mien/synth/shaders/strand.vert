invariant gl_Position;
uniform mat4 clip_from_head;
uniform sampler2D points;   // one row a strand, root first; w is how open to light it lies
uniform float widen;
uniform int fine;           // steps from one point to the next
uniform sampler2D looks;    // one texel a strand: colour (linear), half width in cm
uniform vec3 volume_center;  // where the hair's mass bulges away from
out vec2 v_across;          // along (0 root to 1 tip), across (-1 to 1)
flat out uint v_strand;
out vec3 v_color;
out vec3 v_tangent, v_normal, v_view;
out vec3 v_matte;           // what a white matte strand would send back
out vec3 v_sky;             // what the surroundings add to it, mirrored
out vec3 v_lamp;            // how much of each lamp can be mirrored

// Light changes slowly along a hair: everything but the sharp highlights is known at its points.
void light_strand(vec3 position, vec3 tangent, float open) {
    vec3 t = normalize(tangent), v = normalize(camera - position);
    vec3 outward = normalize(position - volume_center);
    vec3 n = normalize(outward - t * dot(outward, t) * 0.8 + 0.25 * v);
    float visibility = lamp_visibility(position, outward * 2.5);
    v_tangent = t; v_normal = n; v_view = v;
    v_matte = surroundings(n, 0.667, 0.25) * (0.25 + 0.75 * open);
    v_sky = surroundings(n, 0.9, 0.6) * 0.025 * open;
    for (int i = 0; i < 3; i++) {
        vec3 l = lamp_direction[i];
        float seen = (i == 0 ? visibility : open) * (0.3 + 0.7 * open);
        float tl = dot(t, l);
        float diffuse = sqrt(max(1.0 - tl * tl, 0.0)) * clamp(0.35 + 0.65 * dot(outward, l), 0.0, 1.0);
        v_matte += lamp_color[i] * diffuse * seen * 0.8;
        v_lamp[i] = seen * clamp(0.3 + dot(n, l), 0.0, 1.0);
    }
}

// A smooth curve through the points (Catmull & Rom 1974), and its direction.
void curve(int strand, int last, float at, out vec4 place, out vec3 tangent) {
    int i = min(int(at), last - 1);
    float f = at - float(i);
    vec4 a = texelFetch(points, ivec2(max(i - 1, 0), strand), 0);
    vec4 b = texelFetch(points, ivec2(i, strand), 0);
    vec4 c = texelFetch(points, ivec2(i + 1, strand), 0);
    vec4 d = texelFetch(points, ivec2(min(i + 2, last), strand), 0);
    vec4 linear = c - a, square = 2.0 * a - 5.0 * b + 4.0 * c - d, cube = 3.0 * (b - c) + d - a;
    place = b + 0.5 * f * (linear + f * (square + f * cube));
    place.w = mix(b.w, c.w, f);
    tangent = (linear + f * (2.0 * square + f * 3.0 * cube)).xyz;
}

void main() {
    int last = textureSize(points, 0).x - 1, steps = last * fine + 1;
    int strand = gl_VertexID / (2 * steps);
    float at = float((gl_VertexID / 2) % steps) / float(fine);
    float side = float(gl_VertexID % 2) * 2.0 - 1.0;
    vec4 here;
    vec3 tangent;
    curve(strand, last, at, here, tangent);
    tangent += vec3(0.0, -1e-5, 0.0);
    vec3 position = here.xyz;
    bend(position, tangent);
    vec4 look = texelFetch(looks, ivec2(0, strand), 0);
    float along = at / float(last);
#ifdef COLOR
    light_strand(position, tangent, here.w * here.w);
#endif
    vec3 sideways = normalize(cross(normalize(tangent), normalize(camera - position)) + 1e-6);
    position += sideways * side * look.w * widen * (1.0 - 0.75 * along * along * along);
    v_color = look.rgb;
    v_across = vec2(along, side);
    v_strand = uint(strand);
    gl_ClipDistance[0] = 1.0;
    gl_Position = clip_from_head * vec4(position, 1.0);
}
