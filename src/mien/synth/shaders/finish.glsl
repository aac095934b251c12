// How a fragment leaves: first it says which samples it covers, then how those look that show it.
#ifdef COVER

// Partial cover becomes a choice among the pixel's samples, a fixed one for a given fragment.
void keep(float alpha) {
    uint h = mix_bits(uint(gl_FragCoord.x) * 7919u ^ mix_bits(uint(gl_FragCoord.y) * 104729u
        ^ uint(gl_PrimitiveID) * 31u));
    int count = int(alpha * float(SAMPLES) + float(h & 255u) / 256.0);
    if (count <= 0) discard;
    uint mask = (1u << uint(min(count, SAMPLES))) - 1u;
    uint shift = (h >> 8) % uint(SAMPLES);
    gl_SampleMask[0] = int((mask << shift) | (mask >> (uint(SAMPLES) - shift)));
}

#else

layout(early_fragment_tests) in;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 mark;  // normal, then part
uniform float gain;
uniform int label;  // of the whole mesh; negative: each part of the head its own

// Linear up to the highlights, which roll off as film's do.
vec3 tone(vec3 light) {
    vec3 x = max(light * gain, 0.0);
    return mix(x, 0.65 + 0.35 * (1.0 - exp(-(x - 0.65) / 0.35)), step(0.65, x));
}

void finish(vec3 light, vec3 normal, int part) {
    color = vec4(tone(light), 1.0);
    mark = vec4(normal * 127.0 + 128.0, float(label < 0 ? part + 1 : label)) / 255.0;
}

#endif
