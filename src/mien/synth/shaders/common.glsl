#version 410 core
// Shared by every program. Lengths are centimetres in FaceKit's axes; light is linear.

const float PI = 3.14159265;

uniform vec3 camera;             // position of the camera
uniform vec3 sh[9];              // radiance of the surroundings, real spherical harmonics
uniform vec3 lamp_direction[3];  // unit vectors towards the lamps
uniform vec3 lamp_color[3];      // the first lamp casts the shadows
uniform sampler2DShadow shadow_map;
uniform mat4 shadow_from_head;
uniform float shadow_softness;

uint mix_bits(uint x) {
    x ^= x >> 16; x *= 0x7feb352du; x ^= x >> 15; x *= 0x846ca68bu; x ^= x >> 16;
    return x;
}

const uvec3 STRIDE = uvec3(0x9e3779b1u, 0x85ebca6bu, 0xc2b2ae35u);

float share(uint bits) { return float(mix_bits(bits) >> 8) / 16777216.0; }

float hash(ivec3 p, uint seed) {
    uvec3 h = uvec3(p) * STRIDE;
    return share(h.x ^ h.y ^ h.z ^ seed * 0x27d4eb2fu);
}

// Value noise in [0, 1] with cells of unit size.
float noise(vec3 p, uint seed) {
    ivec3 i = ivec3(floor(p));
    vec3 f = p - vec3(i);
    f = f * f * (3.0 - 2.0 * f);
    uvec3 low = uvec3(i) * STRIDE, high = low + STRIDE;
    low.z ^= seed * 0x27d4eb2fu; high.z ^= seed * 0x27d4eb2fu;
    uvec4 xy = uvec4(low.x ^ low.y, high.x ^ low.y, low.x ^ high.y, high.x ^ high.y);
    vec4 near = vec4(share(xy.x ^ low.z), share(xy.y ^ low.z), share(xy.z ^ low.z), share(xy.w ^ low.z));
    vec4 far = vec4(share(xy.x ^ high.z), share(xy.y ^ high.z), share(xy.z ^ high.z), share(xy.w ^ high.z));
    vec4 a = mix(near, far, f.z);
    vec2 b = mix(a.xz, a.yw, f.x);
    return mix(b.x, b.y, f.y);
}

void harmonics(vec3 n, out float y[9]) {
    y[0] = 0.282095;
    y[1] = 0.488603 * n.y; y[2] = 0.488603 * n.z; y[3] = 0.488603 * n.x;
    y[4] = 1.092548 * n.x * n.y; y[5] = 1.092548 * n.y * n.z;
    y[6] = 0.315392 * (3.0 * n.z * n.z - 1.0);
    y[7] = 1.092548 * n.x * n.z; y[8] = 0.546274 * (n.x * n.x - n.y * n.y);
}

// Surroundings blurred by a lobe whose bands weigh 1, band1, band2 (2/3 and 1/4: a matte surface).
vec3 surroundings(vec3 n, float band1, float band2) {
    float y[9];
    harmonics(n, y);
    vec3 light = sh[0] * y[0];
    for (int i = 1; i < 4; i++) light += sh[i] * y[i] * band1;
    for (int i = 4; i < 9; i++) light += sh[i] * y[i] * band2;
    return max(light, 0.0);
}

float lamp_visibility(vec3 position, vec3 normal) {
    vec3 q = (shadow_from_head * vec4(position + normal * 0.15, 1.0)).xyz;
    float seen = 0.0;
    for (int i = 0; i < 8; i++) {  // a sunflower disc
        float r = sqrt((float(i) + 0.5) / 8.0) * shadow_softness;
        float a = float(i) * 2.399963;
        seen += texture(shadow_map, vec3(q.xy + r * vec2(cos(a), sin(a)), q.z - 0.004));
    }
    return seen / 8.0;
}

float ggx(float ndh, float roughness) {
    float a2 = roughness * roughness; a2 *= a2;
    float d = ndh * ndh * (a2 - 1.0) + 1.0;
    return a2 / (PI * d * d);
}

// Specular reflection of one lamp: GGX with the Kelemen visibility term.
float specular(vec3 n, vec3 v, vec3 l, float roughness, float f0) {
    vec3 h = normalize(v + l);
    float vdh = max(dot(v, h), 0.05);
    float fresnel = f0 + (1.0 - f0) * pow(1.0 - vdh, 5.0);
    return ggx(max(dot(n, h), 0.0), roughness) * fresnel / (4.0 * vdh * vdh)
        * max(dot(n, l), 0.0);
}
