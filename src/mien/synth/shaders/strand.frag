in vec2 v_across;
flat in uint v_strand;
in vec3 v_color, v_tangent, v_normal, v_view, v_matte, v_sky, v_lamp;
uniform float strands_across;  // how many hairs one ribbon shows
uniform float gloss_amount;

float lobe(vec3 t, vec3 h, float shift, float power, vec3 n) {
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
    float which = hash(ivec3(int(lane), int(v_strand), 5), 3u);
    which = mix(which, 0.5, 0.6 * clamp(blur - 0.8, 0.0, 1.0));
    vec3 albedo = v_color * (0.72 + 0.56 * which);
    vec3 t = normalize(v_tangent), n = normalize(v_normal), v = normalize(v_view);
    float jitter = (which - 0.5) * 0.12;
    vec3 shine = v_sky;
    for (int i = 0; i < 3; i++) {
        vec3 h = normalize(lamp_direction[i] + v);
        shine += lamp_color[i] * v_lamp[i] * (0.045 * lobe(t, h, -0.10 + jitter, 90.0, n)
                                              + 0.35 * albedo * lobe(t, h, 0.16 + jitter, 22.0, n));
    }
    finish(v_matte * albedo + shine * gloss_amount, n, 0);
#endif
}
