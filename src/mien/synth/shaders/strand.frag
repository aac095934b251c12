in vec3 v_position, v_tangent, v_color;
in vec2 v_across;
in float v_open;
flat in uint v_strand;
uniform float strands_across;  // how many hairs one ribbon shows
uniform float gloss_amount;
uniform vec3 volume_center;    // where the hair's mass bulges away from

float lobe(vec3 t, vec3 l, vec3 v, float shift, float power, vec3 n) {
    vec3 h = normalize(l + v);
    float s = dot(normalize(t + shift * n), h);
    return pow(max(1.0 - s * s, 0.0), power * 0.5);
}

void main() {
    // Single hairs within the ribbon: each has its own shade, and they part towards the tip.
    float lane = (v_across.y * 0.5 + 0.5) * strands_across;
    float blur = clamp(fwidth(lane) * 1.5, 0.3, 2.0);
#ifdef COVER
    float ends = 0.62 + 0.38 * hash(ivec3(int(lane), int(v_strand), 9), 4u);
    float cell = abs(fract(lane) - 0.5) * 2.0;
    float thin = mix(1.1, 0.45, smoothstep(0.4, 1.0, v_across.x));
    float hairs = mix(smoothstep(0.0, blur, thin - cell), thin * 0.8, clamp(blur - 1.0, 0.0, 1.0));
    float alpha = strands_across > 1.5
        ? clamp(hairs, 0.0, 1.0) * (1.0 - smoothstep(ends - 0.2, ends, v_across.x)) : 1.0;
    keep(alpha * smoothstep(-0.03, 0.07, v_across.x));  // roots come out of the skin by and by
#else
    vec3 t = normalize(v_tangent), v = normalize(camera - v_position);
    vec3 outward = normalize(v_position - volume_center);
    vec3 n = normalize(outward - t * dot(outward, t) * 0.8 + 0.25 * v);
    float which = hash(ivec3(int(lane), int(v_strand), 5), 3u);
    which = mix(which, 0.5, 0.6 * clamp(blur - 0.8, 0.0, 1.0));
    vec3 albedo = v_color * (0.72 + 0.56 * which);

    float open = v_open * v_open;
    float visibility = lamp_visibility(v_position, outward * 2.5);
    vec3 light = surroundings(n, 0.667, 0.25) * albedo * (0.25 + 0.75 * open);
    vec3 shine = vec3(0.0);
    for (int i = 0; i < 3; i++) {
        vec3 l = lamp_direction[i];
        float seen = (i == 0 ? visibility : open) * (0.3 + 0.7 * open);
        float tl = dot(t, l);
        float diffuse = sqrt(max(1.0 - tl * tl, 0.0)) * clamp(0.35 + 0.65 * dot(outward, l), 0.0, 1.0);
        light += lamp_color[i] * albedo * diffuse * seen * 0.8;
        float facing = clamp(0.3 + dot(n, l), 0.0, 1.0);
        float jitter = (which - 0.5) * 0.12;
        shine += lamp_color[i] * seen * facing
            * (0.045 * lobe(t, l, v, -0.10 + jitter, 90.0, n)
               + 0.35 * albedo * lobe(t, l, v, 0.16 + jitter, 22.0, n));
    }
    vec3 sky = surroundings(n, 0.9, 0.6);
    shine += sky * 0.025 * open;
    finish(light + shine * gloss_amount, n, 0);
#endif
}
