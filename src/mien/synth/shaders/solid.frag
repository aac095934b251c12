in vec3 v_position, v_normal;
in vec4 v_paint;
uniform float weave;  // cloth threads per cm, 0 for plastic and metal
uniform uint seed;

void main() {
#ifdef COVER
    keep(1.0);
#else
    vec3 n = normalize(v_normal), v = normalize(camera - v_position);
    if (dot(n, v) < 0.0) n = -n;
    vec3 shape = n;
    float folds = noise(v_position * vec3(0.35, 0.16, 0.35), seed) * 0.9
        + noise(v_position * vec3(0.9, 0.35, 0.9), seed + 1u) * 0.25;
    if (weave > 0.0) n = bump(n, v_position, folds);
    vec3 albedo = v_paint.rgb;
    if (weave > 0.0) albedo *= 0.86 + 0.28 * noise(v_position * weave, seed + 2u);
    float visibility = lamp_visibility(v_position, n);
    vec3 light = surroundings(n, 0.667, 0.25) * albedo * 0.9;
    vec3 mirror = surroundings(reflect(-v, n), 0.9, 0.7) * v_paint.a * 0.25;
    for (int i = 0; i < 3; i++) {
        float seen = i == 0 ? visibility : 1.0;
        light += lamp_color[i] * albedo * max(dot(n, lamp_direction[i]), 0.0) * seen;
        mirror += lamp_color[i] * seen * v_paint.a
            * specular(n, v, lamp_direction[i], mix(0.6, 0.22, v_paint.a), 0.04) * PI;
    }
    finish(light + mirror, shape, 0);
#endif
}
