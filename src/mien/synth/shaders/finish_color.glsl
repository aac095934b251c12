// How a fragment leaves when a picture is made.
layout(location = 0) out vec4 color;
uniform float gain;

// Linear up to the highlights, which roll off as film's do.
vec3 tone(vec3 light) {
    vec3 x = max(light * gain, 0.0);
    return mix(x, 0.65 + 0.35 * (1.0 - exp(-(x - 0.65) / 0.35)), step(0.65, x));
}

// Partial cover becomes a choice among the pixel's samples, a fixed one for a given fragment.
void finish(vec3 light, float alpha) {
    uint h = mix_bits(uint(gl_FragCoord.x) * 7919u ^ mix_bits(uint(gl_FragCoord.y) * 104729u
        ^ uint(gl_PrimitiveID) * 31u));
    int count = int(alpha * 4.0 + float(h & 255u) / 256.0);
    if (count <= 0) discard;
    uint mask = (1u << uint(min(count, 4))) - 1u;
    uint shift = (h >> 8) & 3u;
    gl_SampleMask[0] = int(((mask << shift) | (mask >> (4u - shift))) & 15u);
    color = vec4(tone(light), 1.0);
}
