#version 430 core
// From the large linear picture to the small stored one: box filter, sRGB, sensor noise; labels.
// Not a fragment shader: of the many processors of a GPU made for arithmetic few draw.
layout(local_size_x = 8, local_size_y = 8) in;
// A word a pixel, top row first: colour, and with labels then marks, then distance.
layout(std430, binding = 0) writeonly buffer Stored { uint stored[]; };
uniform int side;           // of the small picture
uniform bool labelled;
uniform sampler2D picture;
uniform sampler2DMS marks, depths;
uniform vec2 reach;         // what the projection makes of distances
uniform int factor;
uniform float blur;         // radius in large pixels beyond the box
uniform vec2 sensor_noise;  // of dark (read) and bright (shot) places
uniform vec3 white_balance;
uniform uint noise_seed;
uint mix_bits(uint x) {
    x ^= x >> 16; x *= 0x7feb352du; x ^= x >> 15; x *= 0x846ca68bu; x ^= x >> 16;
    return x;
}

void main() {
    ivec2 place = ivec2(gl_GlobalInvocationID.xy), base = place * factor;
    if (max(place.x, place.y) >= side) return;
    int here = (side - 1 - place.y) * side + place.x;
    if (labelled) {
        ivec2 middle = base + factor / 2;
        float near = texelFetch(depths, middle, 0).r;
        stored[here + side * side] = packUnorm4x8(texelFetch(marks, middle, 0));
        stored[here + 2 * side * side] =
            floatBitsToUint(near < 1.0 ? reach.y / (reach.x + 1.0 - 2.0 * near) : 0.0);
    }
    ivec2 limit = textureSize(picture, 0) - 1;
    int wide = int(ceil(blur));
    vec4 sum = vec4(0.0);
    float total = 0.0;
    for (int y = -wide; y < factor + wide; y++)
        for (int x = -wide; x < factor + wide; x++) {
            vec2 off = max(abs(vec2(x, y) + 0.5 - float(factor) * 0.5) - float(factor) * 0.5, 0.0);
            float w = blur > 0.0 ? exp(-dot(off, off) / (blur * blur) * 2.0) : 1.0;
            sum += w * texelFetch(picture, clamp(base + ivec2(x, y), ivec2(0), limit), 0);
            total += w;
        }
    sum /= total;
    if (sum.a < 0.002) { stored[here] = 0u; return; }
    vec3 light = sum.rgb / sum.a * white_balance;
    uint h = mix_bits(uint(place.x) + 4096u * uint(place.y) + mix_bits(noise_seed));
    vec3 random = vec3(0.0);
    for (int i = 0; i < 4; i++) {
        h = mix_bits(h + 1u);
        random += vec3(h & 1023u, (h >> 10) & 1023u, (h >> 20) & 1023u) / 1023.0 - 0.5;
    }
    light += random * (sensor_noise.x + sensor_noise.y * sqrt(max(light, 0.0)));
    vec3 code = mix(12.92 * light, 1.055 * pow(max(light, 0.0031308), vec3(1.0 / 2.4)) - 0.055,
                    step(0.0031308, light));
    stored[here] = packUnorm4x8(vec4(clamp(code, 0.0, 1.0) * sum.a, sum.a));
}
