#version 410 core
// From the large linear picture to the small stored one: box filter, sRGB, sensor noise; labels.
uniform sampler2D picture;
uniform sampler2DMS marks, depths;
uniform vec2 reach;         // what the projection makes of distances
uniform int factor;
uniform float blur;         // radius in large pixels beyond the box
uniform vec2 sensor_noise;  // of dark (read) and bright (shot) places
uniform vec3 white_balance;
uniform uint noise_seed;
layout(location = 0) out vec4 stored;
layout(location = 1) out vec4 mark;
layout(location = 2) out float distance_out;

uint mix_bits(uint x) {
    x ^= x >> 16; x *= 0x7feb352du; x ^= x >> 15; x *= 0x846ca68bu; x ^= x >> 16;
    return x;
}

void main() {
    ivec2 base = ivec2(gl_FragCoord.xy) * factor;
    ivec2 middle = base + factor / 2;
    mark = texelFetch(marks, middle, 0);
    float near = texelFetch(depths, middle, 0).r;
    distance_out = near < 1.0 ? reach.y / (reach.x + 1.0 - 2.0 * near) : 0.0;
    ivec2 limit = textureSize(picture, 0) - 1;
    int reach = int(ceil(blur));
    vec4 sum = vec4(0.0);
    float total = 0.0;
    for (int y = -reach; y < factor + reach; y++)
        for (int x = -reach; x < factor + reach; x++) {
            vec2 off = max(abs(vec2(x, y) + 0.5 - float(factor) * 0.5) - float(factor) * 0.5, 0.0);
            float w = blur > 0.0 ? exp(-dot(off, off) / (blur * blur) * 2.0) : 1.0;
            sum += w * texelFetch(picture, clamp(base + ivec2(x, y), ivec2(0), limit), 0);
            total += w;
        }
    sum /= total;
    if (sum.a < 0.002) { stored = vec4(0.0); return; }
    vec3 light = sum.rgb / sum.a * white_balance;
    uint h = mix_bits(uint(gl_FragCoord.x) + 4096u * uint(gl_FragCoord.y) + mix_bits(noise_seed));
    vec3 random = vec3(0.0);
    for (int i = 0; i < 4; i++) {
        h = mix_bits(h + 1u);
        random += vec3(h & 1023u, (h >> 10) & 1023u, (h >> 20) & 1023u) / 1023.0 - 0.5;
    }
    light += random * (sensor_noise.x + sensor_noise.y * sqrt(max(light, 0.0)));
    vec3 code = mix(12.92 * light, 1.055 * pow(max(light, 0.0031308), vec3(1.0 / 2.4)) - 0.055,
                    step(0.0031308, light));
    stored = vec4(clamp(code, 0.0, 1.0) * sum.a, sum.a);
}
